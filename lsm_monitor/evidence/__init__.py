"""Evidence: what a person is shown of a decision."""
