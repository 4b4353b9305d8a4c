# syntax=docker/dockerfile:1
# Training and prediction on a server with an NVIDIA GPU, without a window:
#   docker build --tag pixelwise .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --shm-size 2g \
#       --volume "$PWD:/work" pixelwise train my-data --out runs/first
# CUDA comes with torch's wheels; the host needs NVIDIA's driver and container toolkit only.
FROM python:3.12-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

RUN useradd --create-home --uid 1000 pixelwise && chmod 777 /home/pixelwise

# The dependencies are a layer of their own: it is built again only when pyproject.toml changes,
# which says their versions.
WORKDIR /source
COPY pyproject.toml LICENSE ./
# hadolint ignore=DL3013
RUN --mount=type=cache,target=/root/.cache/pip \
    mkdir --parents src/pixelwise \
    && touch README.md src/pixelwise/__init__.py \
    && pip install ".[dask,microscopes,tensorboard]" \
    && pip uninstall --yes napari-pixelwise

COPY README.md ./
COPY src src
RUN pip install --no-cache-dir --no-deps .

# HOME and USER also for a user of the host whom the container does not know.
ENV HOME=/home/pixelwise USER=pixelwise
USER 1000
WORKDIR /work
ENTRYPOINT ["pixelwise"]
CMD ["--help"]
