"""Real-time urban waterlogging monitoring on camera streams."""

__version__ = "0.1.0"
