"""What attacks and certificates amount to, as pure functions of arrays.

`distortion` measures one adversarial example, `certified` a column of certificates.
"""
