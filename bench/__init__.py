"""Measurements that take their time; never a timed test."""
