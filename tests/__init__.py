"""The tests of bl_compiler; a package, so that they can share helpers under their own name."""
