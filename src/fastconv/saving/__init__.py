"""Models and weights in files: Keras 3's `.keras` and `.weights.h5`, and safetensors.

Files are data only. Nothing in one is run or imported, and no size in one is believed before the
bytes are there. A file is written beside its final place and then moved there.
"""

from fastconv.saving.files import load_model, load_weights, save_model, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]
