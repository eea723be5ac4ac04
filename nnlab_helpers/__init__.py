"""Helpers for NN Lab: small, tested pieces that a lesson builds first and later lessons import."""

__version__ = "0.1.0"
