namespace MemSim.Oracle.Tests.Kernels;

/// <summary>Which recording shows what a kernel does, for the rules of <c>docs/kernels.md</c>: by rule and line.</summary>
internal static class RuleEvidence
{
    /// <summary>What a cell says where no recording tells: the value is that of the nearest older line.</summary>
    public const string NotTold = "?";

    /// <summary>Measured, but no recording that was handed out tells: a test of the mechanism stands in.</summary>
    private const string Described = "BEHAVIOUR-new.md, rule 5";

    /// <summary>Read off <c>/proc/swaps</c> of machines of which only the notes were handed out.</summary>
    private const string SwapNotes = "new/README.md, guess 13";

    private static readonly Dictionary<string, string> Mixed = Lines(
        "2G-b-order0to4", "k612-512M-b-order0to4", "k617-512M-b-order0to4", "k618-512M-b-order0to4", "k619-512M-b-order0to4", "k70-512M-b-order0to4", "k71-512M-b-order0to4", "k72-512M-b-order0to4", "k73-512M-b-order0to4");

    private static readonly Dictionary<string, string> Pressure = Lines(
        "2G-f1-pressure", "k612-512M-d-zones", "k617-512M-d-zones", "k618-512M-f1-pressure", "k619-512M-f1-pressure", "k70-512M-f1-pressure", "k71-512M-f1-pressure", "k72-512M-c-allorders", "k73-512M-f1-pressure");

    private static readonly Dictionary<string, string> Atomic = Lines(
        "2G-g-atomic", "k612-512M-g-atomic", NotTold, "k618-512M-g-atomic", NotTold, NotTold, "k71-512M-c-allorders", "k72-512M-c-allorders", "k73-512M-g-atomic");

    private static readonly Dictionary<string, string> Captured = Lines(
        "amd64-2G-smp2", "amd64k612-2G-smp2", NotTold, "amd64k618-2G-smp2", NotTold, "amd64k70-2G-smp2", "amd64k71-256M-smp1", NotTold, "amd64k73-2G-smp2");

    private static readonly Dictionary<string, string> Booted = Lines(
        "amd64-2G-smp2", "amd64k612-2G-smp2", NotTold, "amd64k618-2G-smp2", NotTold, "amd64k70-2G-smp2", "amd64k71-256M-smp1", NotTold, "amd64k73-2G-smp2");

    private static readonly Dictionary<string, string> StackDepot = Lines("amd64-2G-slub_debug", NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, "amd64k73-2G-slub_debug");

    private static readonly Dictionary<string, string> Caches = Lines(
        "2G-caches-smp1", "amd64k612-2G-smp2", NotTold, "k618-2G-caches-smp1", NotTold, "k70-2G-caches-smp1", "amd64k71-256M-smp1", NotTold, "k73-2G-caches-smp1");

    private static readonly Dictionary<string, string> Live = Lines(NotTold, NotTold, NotTold, "a live 6.18.44", NotTold, NotTold, NotTold, NotTold, NotTold);

    private static readonly Dictionary<string, string> Faults = Lines(NotTold, NotTold, NotTold, "vma/faults-6.18", NotTold, NotTold, NotTold, NotTold, NotTold);

    private static readonly Dictionary<string, string> Advice = Lines(NotTold, NotTold, NotTold, "vma/advice-6.18", NotTold, NotTold, NotTold, NotTold, NotTold);

    private static readonly Dictionary<string, string> Traced = Lines(
        "amd64-256M-smp1-fork", NotTold, NotTold, "amd64k618-256M-smp1-fork", NotTold, "amd64k70-256M-smp1-fork", "amd64k71-256M-smp1-fork", NotTold, "amd64k73-256M-smp1-fork");

    private static readonly Dictionary<string, string> Pressed = Lines(
        "k61-512M-global-mglru-on", "k612-512M-global-mglru", NotTold, "README of the pressure runs", NotTold, NotTold, NotTold, NotTold, "k73-512M-global-mglru");

    private static readonly Dictionary<string, string> NowhereTold = Lines(NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, NotTold);

    private static readonly Dictionary<string, string> Flags = Lines(
        "512M-gfp", NotTold, NotTold, "k618-512M-gfp", NotTold, "k70-512M-gfp", NotTold, NotTold, "k73-512M-gfp");

    private static readonly Dictionary<string, string> Cgroups = Lines(
        "amd64k61-512M-smp1-cg-reclaim", "amd64k612-512M-smp1-cg-reclaim", NotTold, "amd64k618-256M-smp1", NotTold, "amd64k70-256M-smp1", NotTold, NotTold, "amd64k73-512M-smp1-cg-reclaim");

    private static readonly Dictionary<string, string> Programs = Lines(
        NotTold, NotTold, NotTold, "vma/programs-6.18", NotTold, NotTold, NotTold, NotTold, NotTold);

    private static readonly Dictionary<string, Dictionary<string, string>> ByRule = new(StringComparer.Ordinal)
    {
        ["Allocator.RemembersBelowHigh"] = Pressure,
        ["Allocator.Fallback"] = Pressure,
        ["Allocator.CachesTypes"] = Pressure,
        ["Allocator.SkipsRepeatedAttempt"] = Lines(Described, Described, NotTold, Described, NotTold, Described, NotTold, NotTold, Described),
        ["Allocator.MergedBlocksTakeType"] = Pressure,
        ["Allocator.DefragMode"] = Lines(
            "2G-b-order0to4", "k612-512M-b-order0to4", NotTold, "k618-512M-defrag-c", NotTold, "k70-512M-defrag-c", NotTold, "k72-512M-defrag-f", "k73-512M-defrag-c"),
        ["Allocator.CountsFreeHighAtomic"] = Atomic,
        ["Allocator.HighAtomicInWholeBlocks"] = Atomic,
        ["Allocator.HighAtomicRefillsPcp"] = Atomic,
        ["Allocator.ReservesAfterPcpHit"] = Atomic,
        ["Allocator.HighAtomicFirst"] = Atomic,
        ["Allocator.HasAtomicFlag"] = Flags,
        ["Allocator.NoWaitIsSilent"] = Flags,
        ["Allocator.GfpBits"] = Flags,
        ["Allocator.HasNoObjExt"] = Flags,
        ["Allocator.HalvesLimitWithOrder"] = Mixed,
        ["Allocator.FreesPastHeldLists"] = Traced,
        ["KernelMemory.ThreadStacks"] = Lines(
            "amd64-256M-smp1-fork", NotTold, NotTold, "amd64k618-256M-smp1-fork", NotTold, "amd64k70-256M-smp1-fork", "amd64k71-256M-smp1-fork", "new/README.md", "amd64k73-256M-smp1-fork"),
        ["KernelMemory.SwapAreasShareAPriority"] = Lines(SwapNotes, NotTold, NotTold, SwapNotes, NotTold, NotTold, NotTold, NotTold, SwapNotes),
        ["CompressedMemory.ZspagesChain"] = Compressed("zram"),
        ["CompressedMemory.ZramCountsInvalid"] = Compressed("zram"),
        ["CompressedMemory.ZeroPagesAreBits"] = Compressed("zswap"),
        ["CompressedMemory.ZswapByCgroup"] = Compressed("zswap"),
        ["CompressedMemory.ZswapShrinksUntilItAccepts"] = Compressed("zswap"),
        ["CompressedMemory.ZswapChoosesPool"] = Compressed("zswap"),
        ["CompressedMemory.ZswapKeepsIncompressible"] = Compressed("zswap"),
        ["Reclaim.HasGenerations"] = Captured,
        ["Reclaim.GenerationsAtBoot"] = Captured,
        ["Reclaim.EmptyZonesCountFree"] = Lines("amd64-256M-smp1-oom", NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, "amd64k73-256M-smp1-oom"),
        ["Reclaim.ReclaimsSwapShadows"] = Compressed("zram"),
        ["Reclaim.FreesInOrder"] = NowhereTold,
        ["Areas.MergesUntouched"] = Programs.With("6.17", "commit 879bca0a2c4f (6.16)"),
        ["Areas.GivesChargeBack"] = Programs.With("6.12", "patch of 2023-10 (6.7)"),
        ["Areas.MovesSeveralAreas"] = Programs.With("6.17", "mremap(2)"),
        ["Areas.RemovesWhereWritable"] = Programs.With("6.1", "stable patches of 2025-07").With("6.12", "patch of 2023-10 (6.7)"),
        ["Views.AbsentRows"] = Captured.With("6.18", "a live 6.18.44 has others"),
        ["Views.AbsentSysctls"] = Captured.With("6.18", "a live 6.18.44 has others"),
        ["Areas.GuardRegions"] = Advice,
        ["Areas.MarksGuardedAreas"] = Advice,
        ["Areas.AdvisesItselfFreely"] = Advice,
        ["Areas.UserfaultPoisons"] = NowhereTold,
        ["Areas.UserfaultMoves"] = Faults,
        ["Areas.TellsWhatMoved"] = Lines(NotTold, NotTold, NotTold, "vma/events-6.18", NotTold, NotTold, NotTold, NotTold, NotTold).With("6.17", "patch of 2025-03 (6.15)"),
        ["Areas.CollapsesReadOnly"] = Live,
        ["Areas.SealsExecution"] = Live,
        ["Areas.MapsSealedForReading"] = Live,
        ["Areas.BalancesNodes"] = Captured,
        ["Areas.WeightsInterleave"] = Captured,
        ["Areas.DiscardsHugeWhole"] = NowhereTold,
        ["Areas.UnsharesForLongPins"] = NowhereTold,
        ["Areas.RefusesLongWritePins"] = NowhereTold,
        ["Image.StackDepotBucketPointers"] = StackDepot,
        ["Image.StackDepotPoolPages"] = StackDepot,
        ["Views.LruGenIdWidth"] = Pressed,
        ["Views.SmapsCountsKsm"] = Live,
        ["Ksm.ChecksumsFirst"] = Live,
        ["Ksm.EndsSingleChains"] = Live,
        ["Ksm.SkipsPages"] = Live,
        ["Ksm.CountsZeroPages"] = Live,
        ["Ksm.MergesProcesses"] = Live,
        ["Ksm.HasAdvisor"] = Live,
        ["Ksm.TellsMergeable"] = Live,
        ["Views.FirmwareMapHasGaps"] = Booted,
        ["Views.BounceBuffersBeforeZonelists"] = Lines(
            "amd64-4G-smp4", "amd64k612-4G-smp4", NotTold, "amd64k618-4G-smp4", NotTold, "amd64k70-4G-smp4", NotTold, NotTold, "amd64k73-4G-numa2"),
    };

    /// <summary>The recording for a rule of a line.</summary>
    public static string Of(string group, string rule, string line)
    {
        Dictionary<string, string> lines = ByRule.GetValueOrDefault($"{group}.{rule}") ?? group switch
        {
            "Allocator" => Mixed,
            "Slab" or "Objects" => Caches,
            "Traces" => Traced,
            "Cgroups" => Cgroups,
            "Image" => Booted,
            "Reclaim" => Pressed,
            _ => Captured,
        };
        return lines.GetValueOrDefault(line, NotTold);
    }

    /// <summary>The same with another text for a line.</summary>
    private static Dictionary<string, string> With(this Dictionary<string, string> lines, string line, string told) => new(lines) { [line] = told };

    /// <summary>The programs that swap to compressed memory.</summary>
    private static Dictionary<string, string> Compressed(string program) => Lines(
        $"amd64k61-512M-smp1-{program}", $"amd64k612-512M-smp1-{program}", NotTold, NotTold, NotTold, NotTold, NotTold, NotTold, $"amd64k73-512M-smp1-{program}");

    private static Dictionary<string, string> Lines(params ReadOnlySpan<string> recordings)
    {
        Dictionary<string, string> lines = new(StringComparer.Ordinal);
        for (int i = 0; i < recordings.Length; i++)
        {
            lines[MemSim.Kernels.KernelLines.Recorded[i].Name] = recordings[i];
        }

        return lines;
    }
}
