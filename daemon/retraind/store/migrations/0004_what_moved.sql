-- What moved in a window, and in the features and cohorts of an episode.

ALTER TABLE windows ADD COLUMN components VARCHAR;
ALTER TABLE windows ADD COLUMN change VARCHAR;
COMMENT ON COLUMN windows.contributions IS 'The bins or categories that moved most, as a JSON array: shares, contribution to the PSI (and as part of it), signed residual, direction.';
COMMENT ON COLUMN windows.components IS 'z-values of location, spread, skew and tail of a number or score, as a JSON object.';
COMMENT ON COLUMN windows.change IS 'The clear ones among them in words, e.g. higher, wider.';

ALTER TABLE episodes ADD COLUMN attribution VARCHAR;
COMMENT ON COLUMN episodes.attribution IS 'What moved when it opened, or asked: features ranked, mix against within-cohort change of fail rates and scores, the most telling sessions; JSON.';
