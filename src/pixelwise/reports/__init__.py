"""Reports: one HTML file, without a network, about a training run or a comparison."""
