"""Audit: can the answer be had without a lung? One file a question."""
