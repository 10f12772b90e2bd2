"""Which estimators are exact where, which is chosen, and the rewrites to them."""
