"""The napari plugin: forms, plots and layers around child processes that do the work.

The only room that imports napari, Qt or magicgui; it imports torch-free rooms only, so napari's
process never loads torch.
"""
