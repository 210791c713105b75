"""Fields of ZTF packets, schema 1.1 to 4.02: which are numbers, and which texts."""

from __future__ import annotations

__all__ = ["NUMBERS", "TEXTS"]

_NUMBERS = """
jd fid pid diffmaglim candid tblid nid rcid field xpos ypos ra dec magpsf sigmapsf chipsf magap sigmagap distnr magnr
sigmagnr chinr sharpnr sky magdiff fwhm classtar mindtoedge magfromlim seeratio aimage bimage aimagerat bimagerat elong
nneg nbad rb ssdistnr ssmagnr sumrat magapbig sigmagapbig ranr decnr sgmag1 srmag1 simag1 szmag1 sgscore1 distpsnr1
ndethist ncovhist jdstarthist jdendhist scorr tooflag objectidps1 objectidps2 sgmag2 srmag2 simag2 szmag2 sgscore2
distpsnr2 objectidps3 sgmag3 srmag3 simag3 szmag3 sgscore3 distpsnr3 nmtchps rfid jdstartref jdendref nframesref dsnrms
ssnrms dsdiff magzpsci magzpsciunc magzpscirms nmatches clrcoeff clrcounc zpclrcov zpmed clrmed clrrms neargaia
neargaiabright maggaia maggaiabright exptime drb sciinpseeing scibckgnd scisigpix adpctdif1 adpctdif2 forcediffimflux
forcediffimfluxunc
"""

#: Fields of candidates and of points in histories that are numbers. A ``programid`` that is none is a matter of
#: rights: nobody knows who may see the alert, and so only those who may see everything do.
NUMBERS = frozenset(_NUMBERS.split())

#: Fields that are texts.
TEXTS = frozenset({"pdiffimfilename", "programpi", "ssnamenr", "rbversion", "drbversion", "procstatus"})
