"""Demo: a rendered street camera, a broker and a subscriber around the real daemon."""
