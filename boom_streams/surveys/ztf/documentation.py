"""What ZTF's fields are, of candidates and of points; see also the survey's own list.

https://zwickytransientfacility.github.io/ztf-avro-alert/schema.html
"""

from __future__ import annotations

__all__ = ["DOCUMENTATION"]

_POINT = {
    "jd": "Start of the exposure, Julian date, UTC.",
    "fid": "Filter: 1 g, 2 r, 3 i.",
    "band": "Name of the filter.",
    "pid": "Processing id of the image.",
    "candid": "Number of the alert.",
    "programid": "Programme: 1 public, 2 partnership, 3 Caltech.",
    "programpi": "Principal investigator of the programme.",
    "pdiffimfilename": "File of the difference image.",
    "isdiffpos": "Whether the difference is positive (science minus reference).",
    "tblid": "Number of the row that the pipeline's catalogue has of it.",
    "nid": "Number of the night.",
    "rcid": "Readout channel, 0 to 63.",
    "field": "Field on the sky.",
    "xpos": "Column in the image, pixels.",
    "ypos": "Row in the image, pixels.",
    "ra": "Right ascension, ICRS, degrees.",
    "dec": "Declination, ICRS, degrees.",
    "exptime": "Exposure time, seconds.",
}
_PHOTOMETRY = {
    "magpsf": "AB magnitude of the difference, from PSF fitting.",
    "sigmapsf": "Its 1-sigma error.",
    "chipsf": "Reduced chi squared of the PSF fit.",
    "magap": "AB magnitude of the difference in an aperture 14 pixels wide.",
    "sigmagap": "Its 1-sigma error.",
    "magapbig": "AB magnitude of the difference in an aperture 18 pixels wide.",
    "sigmagapbig": "Its 1-sigma error.",
    "psfFlux": "Difference flux from PSF fitting, signed, nJy.",
    "psfFluxErr": "Its 1-sigma error, nJy; of a limit, a fifth of the limiting flux.",
    "snr_psf": "Absolute value of `psfFlux` over its error.",
    "apFlux": "Difference flux in the aperture of `magap`, signed, nJy.",
    "apFluxErr": "Its 1-sigma error, nJy.",
    "snr_ap": "Absolute value of `apFlux` over its error.",
    "diffmaglim": "5-sigma limiting AB magnitude of the difference image.",
    "magdiff": "`magap` minus `magpsf`.",
    "magfromlim": "`diffmaglim` minus `magap`.",
    "forcediffimflux": "Forced difference flux, DN.",
    "forcediffimfluxunc": "Its 1-sigma error, DN.",
    "procstatus": "Status of forced photometry, codes with commas; 0 is good.",
    "magzpsci": "Zero point of the science image, AB magnitude.",
    "magzpsciunc": "Its error.",
    "magzpscirms": "Scatter of the zero point's calibrators, magnitudes.",
    "clrcoeff": "Colour coefficient of the calibration.",
    "clrcounc": "Its error.",
    "zpclrcov": "Covariance of zero point and colour coefficient.",
    "zpmed": "Median zero point of the image's stars.",
    "clrmed": "Median colour of the calibrators.",
    "clrrms": "Scatter of their colour.",
    "nmatches": "Calibrators of the zero point.",
}
_SHAPE = {
    "sky": "Local background, DN.",
    "fwhm": "Full width at half maximum, pixels.",
    "classtar": "SExtractor's star score.",
    "mindtoedge": "Distance to the image's nearest edge, pixels.",
    "seeratio": "FWHM of the source over that of the image.",
    "aimage": "Major axis, pixels.",
    "bimage": "Minor axis, pixels.",
    "aimagerat": "Major axis over FWHM.",
    "bimagerat": "Minor axis over FWHM.",
    "elong": "Major over minor axis.",
    "nneg": "Negative pixels in a 5 x 5 stamp.",
    "nbad": "Bad pixels in a 5 x 5 stamp.",
    "sumrat": "Sum of pixel values over that of their absolute values.",
    "scorr": "Peak of the matched-filter image, sigma.",
    "dsnrms": "Ratio of D to its scatter.",
    "ssnrms": "Ratio of S to its scatter.",
    "dsdiff": "`dsnrms` minus `ssnrms`.",
    "sciinpseeing": "FWHM of the science image, pixels.",
    "scibckgnd": "Background of the science image, DN.",
    "scisigpix": "Scatter of its pixels, DN.",
    "adpctdif1": "Difference of the full and partial sensitivity of the PSF catalogue's astrometry, per cent.",
    "adpctdif2": "The same of the aperture catalogue.",
    "tooflag": "Whether it was a target of opportunity.",
    "rb": "Real-bogus score of a random forest, 0 to 1.",
    "rbversion": "Version of that classifier.",
    "drb": "Real-bogus score of a deep network (braai), 0 to 1.",
    "drbversion": "Version of that network.",
}
_SURROUNDINGS = {
    "distnr": "Distance to the nearest source of the reference image, pixels.",
    "magnr": "AB magnitude of that source.",
    "sigmagnr": "Its 1-sigma error.",
    "chinr": "DAOPhot's chi of that source.",
    "sharpnr": "DAOPhot's sharpness of that source.",
    "ranr": "Right ascension of that source, degrees.",
    "decnr": "Declination of that source, degrees.",
    "ssdistnr": "Distance to the nearest known object of the solar system, arcsec.",
    "ssmagnr": "Its predicted V magnitude.",
    "ssnamenr": "Its name.",
    "neargaia": "Distance to the nearest Gaia source, arcsec.",
    "maggaia": "Its G magnitude.",
    "neargaiabright": "Distance to the nearest bright Gaia source (G < 14), arcsec.",
    "maggaiabright": "Its G magnitude.",
    "nmtchps": "Sources of PS1 within 30 arcsec.",
    "ndethist": "Earlier detections at this place since the survey's start.",
    "ncovhist": "How often this place was covered since then.",
    "jdstarthist": "First detection at this place, Julian date, UTC.",
    "jdendhist": "Last detection at this place, Julian date, UTC.",
    "rfid": "Processing id of the reference image.",
    "jdstartref": "First exposure of the reference image, Julian date, UTC.",
    "jdendref": "Last exposure of the reference image, Julian date, UTC.",
    "nframesref": "Exposures of the reference image.",
}
_PS1 = {
    f"{field}{n}": text.format(which)
    for n, which in ((1, "nearest"), (2, "second nearest"), (3, "third nearest"))
    for field, text in (
        ("objectidps", "Number of the {} source of PS1."),
        ("sgmag", "g magnitude of the {} source of PS1."),
        ("srmag", "r magnitude of the {} source of PS1."),
        ("simag", "i magnitude of the {} source of PS1."),
        ("szmag", "z magnitude of the {} source of PS1."),
        ("sgscore", "Star score of the {} source of PS1, 1 is a star."),
        ("distpsnr", "Distance to the {} source of PS1, arcsec."),
    )
}

#: What a field is, by its name.
DOCUMENTATION = {**_POINT, **_PHOTOMETRY, **_SHAPE, **_SURROUNDINGS, **_PS1}
