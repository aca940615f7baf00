"""Publish: from events to the broker, through a durable outbox."""
