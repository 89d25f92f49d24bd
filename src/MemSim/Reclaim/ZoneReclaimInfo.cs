namespace MemSim;

/// <summary>Reclaim of a zone as textbooks show it (<c>struct zone</c> of 2.6); the kernel scans nodes since 4.8, and this is the zone's share.</summary>
/// <param name="NrScanActive">Active pages of the zone that the last scan was to look at (<c>nr_scan_active</c>).</param>
/// <param name="NrScanInactive">Inactive pages (<c>nr_scan_inactive</c>).</param>
/// <param name="PagesScanned">Pages scanned since reclaim last freed one of the zone (<c>pages_scanned</c>).</param>
/// <param name="AllUnreclaimable">Whether the zone was scanned six times without a page (<c>all_unreclaimable</c>).</param>
/// <param name="Priority">The priority of the last scan, 12 (a 4096th of each list) to 0 (all); 0 also when there was none (<c>temp_priority</c>).</param>
/// <param name="PreviousPriority">The lowest priority that the last run needed (<c>prev_priority</c>).</param>
public readonly record struct ZoneReclaimInfo(long NrScanActive, long NrScanInactive, long PagesScanned, bool AllUnreclaimable, int Priority, int PreviousPriority);
