"""The library behind the book of replications.

A chapter talks to :mod:`replib.chapter`; the other modules are the building blocks it uses.
Nothing is imported here: a chapter depends on the modules it names and on no other.
"""
