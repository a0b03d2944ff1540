"""The functions of ``import rtpverify`` that are more than one module below: what a script, test or notebook calls."""
