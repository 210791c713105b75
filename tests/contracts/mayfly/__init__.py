"""MAYFLY, a survey that does not exist, and is as unlike ZTF as a survey can be.

Bands are texts, brightness is flux, times are MJD, nothing says whose an alert is, alerts are named by texts, and
stamps have other names, lie with south first, and are not compressed.
"""

from tests.contracts.mayfly.survey import SURVEY

__all__ = ["SURVEY"]
