"""The one thing pyproject.toml cannot say: which file builds the native module."""

from setuptools import setup

setup(cffi_modules=["native/build_ffi.py:ffi_builder"])
