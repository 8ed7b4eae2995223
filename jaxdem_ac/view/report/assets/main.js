document.querySelectorAll("figure.curve").forEach(followPointer);
const episodes = JSON.parse(document.getElementById("data").textContent).episodes;
if (episodes.length) startPlayer(episodes).catch(sayProblem);
