using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>How an address is translated at this moment, step by step: what <see cref="CpuTranslation.Explain"/> returns. <see cref="ToString"/> is meant for reading.</summary>
public sealed class TranslationExplanation
{
    internal TranslationExplanation(VirtualAddress address, MemoryAccess access, string rootName, PhysicalAddress root)
    {
        Address = address;
        Access = access;
        RootName = rootName;
        Root = root;
    }

    /// <summary>The address.</summary>
    public VirtualAddress Address { get; }

    /// <summary>The access.</summary>
    public MemoryAccess Access { get; }

    /// <summary>The register that points at the top-level table: CR3, TTBR0 or TTBR1.</summary>
    public string RootName { get; }

    /// <summary>The top-level table.</summary>
    public PhysicalAddress Root { get; }

    /// <summary>The TLB that has the translation: 1 or 2; 0 for none, a walk is needed.</summary>
    public int TlbLevel { get; internal init; }

    /// <summary>The lowest level whose entry a paging-structure cache remembers; 0 for none. The walk starts below it.</summary>
    public int WalkCacheLevel { get; internal init; }

    /// <summary>The entries of a complete walk, the top one first.</summary>
    public IReadOnlyList<TranslationStep> Steps { get; internal init; } = [];

    /// <summary>Reads of memory that the access makes now: entries of page tables, and the data unless it faults.</summary>
    public int MemoryReads { get; internal init; }

    /// <summary>Cycles that the access costs now.</summary>
    public long Cycles { get; internal init; }

    /// <summary>The physical address; null for a fault.</summary>
    public PhysicalAddress? Physical { get; internal init; }

    /// <summary>The fault; null when there is none.</summary>
    public PageFault? Fault { get; internal init; }

    /// <summary>The size of the page; null for a fault.</summary>
    public MappingSize? PageSize { get; internal init; }

    /// <summary>The explanation as text.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{Address}, {(Access switch { MemoryAccess.Write => "write", MemoryAccess.Execute => "fetch", _ => "read" })}\n");
        text.Append(TlbLevel switch { 1 => "L1 TLB: hit, no walk\n", 2 => "L1 TLB: miss; L2 TLB: hit, no walk\n", _ => "L1 TLB: miss; L2 TLB: miss\n" });
        if (TlbLevel == 0 && WalkCacheLevel != 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"walk cache: knows the {Steps.FirstOrDefault(s => s.Level == WalkCacheLevel)?.Name ?? "?"} entry, the walk starts below it\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"{RootName} = {Root}\n");
        foreach (TranslationStep step in Steps)
        {
            string kind = !step.IsPresent ? "not present" : step.IsLeaf ? $"page at {step.Target}" : $"table at {step.Target}";
            text.Append(CultureInfo.InvariantCulture, $"  {step.Name} + index {step.Index,4} -> [{step.EntryAddress}] = {step.Entry:x16}  {kind}{(step.IsRead ? "" : "  (not read now)")}\n");
        }

        if (Fault is { } fault)
        {
            text.Append(CultureInfo.InvariantCulture, $"fault: {fault.Reason}, {(fault.IsArm64 ? "ESR" : "error code")} 0x{fault.Code:x}\n");
        }
        else
        {
            text.Append(CultureInfo.InvariantCulture, $"  page + offset 0x{Address.Value & ((1UL << (int)PageSize!.Value) - 1):x} -> {Physical}\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"{MemoryReads} memory reads{(Fault is null ? " (data included)" : "")}, {Cycles} cycles\n");
        return text.ToString();
    }
}

/// <summary>An entry on the way from the root to a page.</summary>
/// <param name="Level">The level of its table: 1 maps 4 KiB pages.</param>
/// <param name="Name">The kernel's name of that level.</param>
/// <param name="Index">The part of the address that selects the entry.</param>
/// <param name="EntryAddress">Where the entry lies.</param>
/// <param name="Entry">Its bits.</param>
/// <param name="IsPresent">Whether it leads anywhere.</param>
/// <param name="IsLeaf">Whether it maps a page.</param>
/// <param name="Target">The next table, or the page.</param>
/// <param name="Protection">Of a page, what it allows.</param>
/// <param name="IsRead">Whether the access reads it now; false when a TLB or walk cache saves that.</param>
public sealed record TranslationStep(int Level, string Name, int Index, PhysicalAddress EntryAddress, ulong Entry, bool IsPresent, bool IsLeaf, PhysicalAddress Target, PageProtection Protection, bool IsRead);

/// <content>Explaining translations.</content>
public sealed partial class Cpu
{
}
