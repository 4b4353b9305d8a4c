"""Training: the loop, batches, augmentation, losses, schedules and checkpoints."""
