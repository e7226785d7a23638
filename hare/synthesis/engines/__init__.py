"""Engines that write text: in process, served, and what chooses between them."""
