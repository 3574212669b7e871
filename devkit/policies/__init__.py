"""What a rehearsal plays against: servers, scripts, and probes that know nothing."""
