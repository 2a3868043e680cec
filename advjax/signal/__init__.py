"""Differentiable signal processing: functions of one signal, no classes."""
