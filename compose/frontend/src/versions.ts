/** Whether the page and the API are of one build. */

export interface Build {
  version?: string;
  revision?: string;
}

const short = (revision: string | undefined) =>
  revision && revision !== "unknown" ? revision.slice(0, 12) : "";

export function label(build: Build | null): string {
  if (!build?.version) return "unknown";
  const revision = short(build.revision);
  return revision ? `${build.version} (${revision})` : build.version;
}

/** A sentence when the two differ; `null` when they agree or one of them is not known. */
export function mismatch(page: Build | null, api: Build | null): string | null {
  if (!page?.version || !api?.version) return null;
  const revisions = [short(page.revision), short(api.revision)];
  const known = revisions.every(Boolean);
  if (page.version === api.version && (!known || revisions[0] === revisions[1])) return null;
  return `The page is ${label(page)} and the API is ${label(api)}. Reload the page; if this stays, an update is incomplete.`;
}
