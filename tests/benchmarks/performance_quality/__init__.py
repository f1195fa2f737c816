"""Simulation of performance quality: false alarms, power and coverage of the tests and intervals of outcomes."""
