"""Prediction: source → plane reader → sliding window → post-processing → sink; evaluation."""
