namespace MemSim.Kernels;

/// <summary>Areas of address spaces and the calls on them, where kernels differ.</summary>
public sealed record AreaRules
{
    /// <summary>Whether a touched area may be merged into an untouched one before it (since 6.16, commit 879bca0a2c4f); before, only the other way round.</summary>
    public bool MergesUntouched { get; init; }

    /// <summary>Whether <c>mprotect()</c> that takes the right to write away from anonymous private memory gives its commit charge back, as long as no page of it was written (since 6.7, a patch of October 2023).</summary>
    public bool GivesChargeBack { get; init; }

    /// <summary>Whether <c>MADV_REMOVE</c> asks whether a shared mapping might be made writable (since 6.7; stable series have it since August 2025: 6.1.149, 6.6.103), not whether it is.</summary>
    public bool RemovesWhereWritable { get; init; }

    /// <summary>
    /// Whether <c>mremap()</c> to a fixed address moves all areas of a range whose length stays, with the gaps between and after them (since 6.17, says <c>mremap(2)</c>); and whether one that is to shrink and move is
    /// refused before its end is unmapped, where what is left would reach beyond the first area, and the target is looked at before the area.
    /// </summary>
    public bool MovesSeveralAreas { get; init; }

    /// <summary>Whether <c>MADV_GUARD_INSTALL</c> and <c>MADV_GUARD_REMOVE</c> exist (since 6.13; of files since 6.15).</summary>
    public bool GuardRegions { get; init; }

    /// <summary>Whether areas with guards are marked (<c>VM_MAYBE_GUARD</c>), which keeps none from merging, instead of files' areas getting anonymous memory (since 6.19, and in stable updates of 6.18).</summary>
    public bool MarksGuardedAreas { get; init; }

    /// <summary>Whether <c>process_madvise()</c> takes every advice about the caller's own memory, and asks for no capability there (since 6.13).</summary>
    public bool AdvisesItselfFreely { get; init; }

    /// <summary>Whether <c>memfd_create()</c> knows <c>MFD_EXEC</c> and <c>MFD_NOEXEC_SEAL</c>, and files <c>F_SEAL_EXEC</c> (since 6.3).</summary>
    public bool SealsExecution { get; init; }

    /// <summary>Whether a file sealed against writing can be mapped shared for reading (since 6.7); before, every shared mapping of an open file that may be written is refused.</summary>
    public bool MapsSealedForReading { get; init; }

    /// <summary>Whether pages pinned for long in a private mapping are its own even when they are only read (since 6.2).</summary>
    public bool UnsharesForLongPins { get; init; }

    /// <summary>Whether pages of files that note each write are not pinned for long to be written to (since 6.5).</summary>
    public bool RefusesLongWritePins { get; init; }

    /// <summary>Whether userfaultfd has <c>UFFDIO_POISON</c> (since 6.6).</summary>
    public bool UserfaultPoisons { get; init; }

    /// <summary>Whether userfaultfd has <c>UFFDIO_MOVE</c> (since 6.8), and can protect anonymous memory that is not there yet (since 6.4).</summary>
    public bool UserfaultMoves { get; init; }

    /// <summary>Whether userfaultfd is told of a move that shrinks its area how much moved; before it was how much there had been (since 6.15).</summary>
    public bool TellsWhatMoved { get; init; }

    /// <summary>Whether ranges without a writable entry can be collapsed into huge pages (since 6.18).</summary>
    public bool CollapsesReadOnly { get; init; }

    /// <summary>Whether reclaim takes the entry of a huge page that was given up with <c>MADV_FREE</c> out as it is, instead of splitting it first (since 6.11).</summary>
    public bool DiscardsHugeWhole { get; init; }

    /// <summary>Whether pages move between nodes to who uses them, without being asked (3.8).</summary>
    public bool BalancesNodes { get; init; } = true;

    /// <summary>Whether memory can be spread over nodes by weights (6.9).</summary>
    public bool WeightsInterleave { get; init; }
}
