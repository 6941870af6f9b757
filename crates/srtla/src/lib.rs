//! SRTLA bonding, sans-IO: arrives with native bonding.
