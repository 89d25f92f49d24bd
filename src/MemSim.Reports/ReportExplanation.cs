namespace MemSim.Reports;

/// <summary>Why the request of a report failed, zone by zone, and what would have saved it.</summary>
public sealed class ReportExplanation
{
    internal ReportExplanation(KernelReport report)
    {
        Report = report;
    }

    /// <summary>The report explained.</summary>
    public KernelReport Report { get; }

    /// <summary>The answer in one word.</summary>
    public Verdict Verdict { get; internal set; }

    /// <summary>Whether the request passes by the figures as they are printed, and was refused by the OOM path's last try against the high watermark: asked again in that state, it succeeds.</summary>
    public bool PassesAtMin { get; internal set; }

    /// <summary>log2 of the pages asked for; null where no line tells.</summary>
    public int? Order { get; internal set; }

    /// <summary>Names of the flags; null where no line tells.</summary>
    public IReadOnlyList<string>? GfpNames { get; internal set; }

    /// <summary>The flags in today's bits; null where no line tells.</summary>
    public Gfp? Gfp { get; internal set; }

    /// <summary>Size of a page in KiB; null where nothing tells.</summary>
    public int? PageSizeKiB { get; internal set; }

    /// <summary>Which kernel's rules were used, and why.</summary>
    public string Rules { get; internal set; } = "";

    /// <summary>The answer in words: the reason first, then what it rests on.</summary>
    public IReadOnlyList<string> Why => WhyList;

    /// <summary>The zones in the order in which the request tries them, then those it may not use. Zones without memory are left out.</summary>
    public IReadOnlyList<ZoneOutcome> Zones { get; internal set; } = [];

    /// <summary>What would have saved the request, cheapest first, and what would not have.</summary>
    public IReadOnlyList<Saving> SavedBy { get; internal set; } = [];

    /// <summary>Whether the request as reported got its pages on the rebuilt machine; null where none was rebuilt.</summary>
    public bool? OnMachine { get; internal set; }

    /// <summary>Why no machine was rebuilt; empty where one was, or nobody asked for it.</summary>
    public string NotRebuilt { get; internal set; } = "";

    /// <summary>Who holds the memory, largest first.</summary>
    public IReadOnlyList<Consumer> Consumers { get; internal set; } = [];

    /// <summary>What else was noticed, a sentence each.</summary>
    public IReadOnlyList<string> Notes => NoteList;

    /// <summary>The answers by the rules of other kernels, where the version is not known and it matters.</summary>
    public IReadOnlyList<OtherAnswer> Others { get; internal set; } = [];

    /// <summary>The same explanation as text, the answer first.</summary>
    public override string ToString() => Explaining.ExplanationText.Of(this);

    internal List<string> WhyList { get; } = [];

    internal List<string> NoteList { get; } = [];
}

/// <summary>The check of one zone, in pages of the report's size; null where it cannot be known.</summary>
public sealed record ZoneOutcome
{
    /// <summary>Its node.</summary>
    public required int Node { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Whether the request may use it; null where there is no request, or the text does not tell.</summary>
    public required bool? Eligible { get; init; }

    /// <summary>Free pages.</summary>
    public required long? FreePages { get; init; }

    /// <summary>Free pages that do not count for the request.</summary>
    public required long? UnusablePages { get; init; }

    /// <summary>The part of them that is the block itself but for one page.</summary>
    public required long OrderSharePages { get; init; }

    /// <summary>The part of them that is the highatomic reserve.</summary>
    public required long HighAtomicPages { get; init; }

    /// <summary>Whether <see cref="HighAtomicPages"/> is the least it can be: kernels before 5.5 do not print it.</summary>
    public required bool HighAtomicIsLeast { get; init; }

    /// <summary>The part of them that is CMA's.</summary>
    public required long CmaPages { get; init; }

    /// <summary>The min watermark as printed, boost included.</summary>
    public required long? MinPages { get; init; }

    /// <summary>The boost in it.</summary>
    public required long BoostPages { get; init; }

    /// <summary>What is kept back from the request.</summary>
    public required long? ReservePages { get; init; }

    /// <summary>What the usable pages must exceed: what the request's rights leave of min, and the reserve.</summary>
    public required long? LimitPages { get; init; }

    /// <summary>Pages lacking; 0 where the check passes.</summary>
    public required long? MissingPages { get; init; }

    /// <summary>The largest order of which a block is free that the request may take; -1 for none.</summary>
    public required int? LargestUsableOrder { get; init; }

    /// <summary>Blocks of the order or more that the request may take.</summary>
    public required long? UsableBlocks { get; init; }

    /// <summary>Whether the zone lets the request pass.</summary>
    public required bool? Passes { get; init; }

    /// <summary>Why not, in one word; null where it is not known.</summary>
    public required Verdict? Reason { get; init; }

    /// <summary>Whether it passes the last try against the high watermark before the OOM killer is called; null where that does not apply.</summary>
    public required bool? PassesHigh { get; init; }

    /// <summary>The check as sentences, with every number.</summary>
    public required IReadOnlyList<string> Arithmetic { get; init; }
}

/// <summary>Something that could be changed.</summary>
/// <param name="Knob">What: <c>order</c>, <c>gfp</c>, a sysctl, ...</param>
/// <param name="Value">The value that is just enough; empty where there is none.</param>
/// <param name="Works">Whether the request would have passed; null where it depends on what the report does not tell.</param>
/// <param name="Text">The same as a sentence.</param>
public sealed record Saving(string Knob, string Value, bool? Works, string Text)
{
    /// <summary>What it costs, for the order: from 10 a setting at run time, 20 a line of code, 30 a boot parameter or swap, 40 memory or another kernel.</summary>
    public int Cost { get; init; } = 20;

    /// <summary>The change for the rebuilt machine; null where it cannot be made there.</summary>
    internal (Explaining.RequestFacts Request, Func<Explaining.ZoneFacts, Explaining.ZoneFacts>? Change)? Trial { get; init; }

    /// <summary>What a fork of the rebuilt machine did with it: whether the request passed; null where no machine was rebuilt.</summary>
    public bool? OnMachine { get; init; }
}

/// <summary>Somebody who holds memory.</summary>
/// <param name="Name">Who.</param>
/// <param name="KiB">How much.</param>
/// <param name="Text">Details; empty for none.</param>
public readonly record struct Consumer(string Name, long KiB, string Text = "");

/// <summary>The answer by the rules of another kernel.</summary>
/// <param name="Since">The first kernel with these rules.</param>
/// <param name="Verdict">The answer.</param>
/// <param name="Text">The rule that makes the difference.</param>
public sealed record OtherAnswer(KernelRelease Since, Verdict Verdict, string Text);
