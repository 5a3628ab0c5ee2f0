"""The prediction service: HTTP in front of ONNX Runtime. It imports neither torch nor monai nor ``training``."""

__version__ = "0.1.0"
NOTICE = "Research use only; not a medical device."
