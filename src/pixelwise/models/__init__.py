"""The networks: built by name from the registry, summarised, and started from known weights."""
