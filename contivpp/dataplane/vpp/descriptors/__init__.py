"""What makes values real in VPP, and reads them back: one module per family."""
