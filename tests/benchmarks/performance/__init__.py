"""Estimated quality of models beside NannyML's."""
