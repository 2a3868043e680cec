"""Black-box attacks, which ask for outputs and never for gradients."""
