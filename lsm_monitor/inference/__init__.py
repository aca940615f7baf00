"""Inference: frames of many cameras, one thread, one model."""
