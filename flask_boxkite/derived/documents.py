"""Recipes as JSON documents, as baseline files hold them."""

from __future__ import annotations

from typing import Any

from flask_boxkite.derived.given import FunctionRecipe, ObservedRecipe
from flask_boxkite.derived.recipe import Recipe
from flask_boxkite.derived.row import RowRecipe
from flask_boxkite.derived.text import TextRecipe
from flask_boxkite.derived.vector import VectorRecipe

__all__ = ["document_of", "recipe_of"]

_KINDS: dict[str, type[Recipe]] = {
    recipe.kind: recipe for recipe in (TextRecipe, VectorRecipe, FunctionRecipe, ObservedRecipe, RowRecipe)
}


def document_of(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON values."""
    return {"kind": recipe.kind, "name": recipe.name, **recipe.parameters()}


def recipe_of(document: Any) -> Recipe:
    """Return the recipe that `document_of` wrote.

    Raises:
        ValueError: The document is damaged, or of an unknown kind.
    """
    try:
        kind, name = document["kind"], document["name"]
        if not isinstance(name, str):
            raise TypeError
        return _KINDS[kind].of_parameters(name, document)
    except (KeyError, TypeError, ValueError) as error:
        msg = "the recipe of a derived variable is damaged, or from a later release"
        raise ValueError(msg) from error
