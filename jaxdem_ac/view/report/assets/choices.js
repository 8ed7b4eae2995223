// Which episode is shown: a run, a policy and a label name it.

/** The field of an episode that each list is of. */
const CHOICES = { run: "run", policy: "policy", episode: "label" };

/** Fill the lists with what there is beside an episode; one without a choice is hidden, but for the last. */
function showChoices(episodes, number) {
  const shown = episodes[number];
  for (const [id, field] of Object.entries(CHOICES)) {
    // Policies and labels are those of the run.
    const among = field === "run" ? episodes : episodes.filter((each) => each.run === shown.run);
    const values = [...new Set(among.map((each) => each[field]))];
    const list = document.getElementById(id);
    list.replaceChildren(...values.map((value) => new Option(value, value)));
    list.value = shown[field];
    list.parentElement.hidden = field !== "label" && values.length < 2;
  }
}

/** The number of the episode that has what was chosen last, and of the other choices as many as there are. */
function chosenEpisode(episodes, last) {
  const wanted = Object.entries(CHOICES).map(([id, field]) => [field, document.getElementById(id).value]);
  const score = (episode) => {
    const agrees = wanted.filter(([field, value]) => episode[field] === value).map(([field]) => field);
    return agrees.length + (agrees.includes(last) ? 3 : 0) + (agrees.includes("run") ? 1 : 0);
  };
  const scores = episodes.map(score);
  return scores.indexOf(Math.max(...scores));
}

/** What an episode is called in words. */
function nameOf(episode) {
  return [episode.env, episode.run, episode.policy, episode.label].filter(Boolean).join(", ");
}

/** Offer what can be drawn on request: forces only where there are any. */
function showOverlays(episode) {
  document.getElementById("forces").parentElement.hidden = !episode.contact;
}
