"""Trained networks as files for programs that know nothing of movinas."""
