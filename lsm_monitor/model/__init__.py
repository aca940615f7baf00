"""Model: from pictures to water probabilities; shared by daemon, exporter and trainer."""
