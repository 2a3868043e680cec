"""Black-box attacks, which query outputs and use no gradients."""
