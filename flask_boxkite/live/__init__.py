"""The serving side's counts: where each stands, how values find their cell, and where the cells are kept."""
