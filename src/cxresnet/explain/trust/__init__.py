"""The trust card: what each method's maps are worth on one network, by tests that can fail."""
