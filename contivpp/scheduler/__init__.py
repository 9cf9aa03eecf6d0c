"""Transactional, dependency-ordered key-value scheduler; knows no network."""
