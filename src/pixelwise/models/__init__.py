"""The networks: created by name, summarised, and initialised from pre-trained weights."""
