using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using MemSim.KernelMemory;

namespace MemSim.Observability;

/// <summary>An object to which nothing points.</summary>
/// <param name="Address">Its first byte.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="CallSite">Who asked for it.</param>
/// <param name="Task">The task that did.</param>
/// <param name="Age">How long ago, in simulated time.</param>
/// <param name="FirstBytes">Its first bytes, at most 32.</param>
public sealed record UnreferencedObject(VirtualAddress Address, long Bytes, string CallSite, KernelTask? Task, TimeSpan Age, IReadOnlyList<byte> FirstBytes)
{
    /// <summary>The object as <c>/sys/kernel/debug/kmemleak</c> lists it; jiffies are not simulated.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"unreferenced object 0x{Address.Value:x} (size {Bytes}):\n");
        text.Append(CultureInfo.InvariantCulture, $"  comm \"{Task?.Name}\", pid {Task?.Pid ?? 0} (age {Age.TotalSeconds:0.000}s)\n");
        text.Append(CultureInfo.InvariantCulture, $"  hex dump (first {FirstBytes.Count} bytes):\n");
        for (int row = 0; row < FirstBytes.Count; row += 16)
        {
            byte[] bytes = [.. FirstBytes.Skip(row).Take(16)];
            text.Append("    ").Append(string.Join(' ', bytes.Select(b => b.ToString("x2", CultureInfo.InvariantCulture))).PadRight(49))
                .Append(string.Concat(bytes.Select(b => b is >= 32 and < 127 ? (char)b : '.'))).Append('\n');
        }

        return text.Append("  backtrace:\n").Append(CallSite.Length == 0 ? "" : $"    {CallSite}\n").ToString();
    }
}

/// <summary>One search for objects nobody points to: marks from the roots, word by word.</summary>
internal sealed class UnreferencedScan
{
    private const int ShownBytes = 32;

    private readonly Machine _machine;
    private readonly List<Candidate> _candidates = [];
    private readonly Queue<Candidate> _reached = new();
    private readonly int _wordBytes;

    public UnreferencedScan(Machine machine, ObjectOwnerTracker owners)
    {
        _machine = machine;
        _wordBytes = machine.Architecture.Bits / 8;
        Inventory = Inventory.Of(machine);
        HashSet<ulong> tables = [.. Inventory.Areas.Select(area => area.Table.Value)];
        foreach ((ulong address, KmemCache cache) in Inventory.Objects)
        {
            if (owners.Find(address) is { } owner && !machine.Slab.KernelObjects.Owns(cache) && !tables.Contains(address))
            {
                _candidates.Add(new Candidate(address, (ulong)cache.ObjectSize, owner, null));
            }
        }

        foreach ((int pfn, int order) in Inventory.Blocks)
        {
            // Objects of kmalloc beyond the size classes.
            if (owners.Find(machine.Addresses.AddressOf(pfn).Value) is { } owner && !tables.Contains(machine.Addresses.AddressOf(pfn).Value))
            {
                _candidates.Add(new Candidate(machine.Addresses.AddressOf(pfn).Value, (ulong)PageGeometry.PageSize << order, owner, null));
            }
        }

        HashSet<ulong> stacks = [.. machine.Stacks.OfTasks.Select(stack => stack.Bottom.Value)];
        foreach (VmArea area in Inventory.Areas)
        {
            if (area.OwnsPages && !tables.Contains(area.Start) && !stacks.Contains(area.Start))
            {
                _candidates.Add(new Candidate(area.Start, (ulong)area.Count << PageGeometry.PageShift, null, area));
            }
        }

        _candidates.Sort((a, b) => a.Address.CompareTo(b.Address));
    }

    private Inventory Inventory { get; }

    public List<UnreferencedObject> Run(ReadOnlySpan<VirtualAddress> held)
    {
        foreach (VirtualAddress address in held)
        {
            Reach(address.Value);
        }

        ScanRoots();
        while (_reached.TryDequeue(out Candidate? candidate))
        {
            Scan(candidate);
        }

        return [.. _candidates.Where(c => !c.IsReached).Select(Describe)];
    }

    private void ScanRoots()
    {
        HashSet<ulong> large = [.. _candidates.Select(c => c.Address)];
        foreach ((int pfn, int order) in Inventory.Blocks)
        {
            if (!large.Contains(_machine.Addresses.AddressOf(pfn).Value))
            {
                ScanFrames(pfn, 1 << order);
            }
        }

        HashSet<int> percpu = [];
        _machine.PerCpu.AddFrames(percpu);
        foreach (int pfn in percpu)
        {
            ScanFrames(pfn, 1);
        }

        foreach (KernelStack stack in _machine.Stacks.OfTasks)
        {
            foreach (Page page in stack.Pages)
            {
                ScanFrames(page.FrameIndex, 1);
            }
        }
    }

    private void Scan(Candidate candidate)
    {
        if (candidate.Area is { } area)
        {
            foreach (Page page in area.Mapped)
            {
                ScanFrames(page.FrameIndex, 1);
            }

            return;
        }

        ScanBytes(candidate.Address - _machine.Addresses.AddressOf(0).Value, (int)(candidate.Bytes & ~(ulong)(_wordBytes - 1)));
    }

    private void ScanFrames(int pfn, int pages)
    {
        for (int i = pfn; i < pfn + pages; i++)
        {
            // What was never touched holds zeroes.
            if (_machine.Ram.IsTouched(i))
            {
                ScanBytes((ulong)i << PageGeometry.PageShift, PageGeometry.PageSize);
            }
        }
    }

    private void ScanBytes(ulong physical, int bytes)
    {
        ReadOnlySpan<byte> memory = _machine.Ram.ReadOnly(physical, bytes);
        if (_wordBytes == sizeof(ulong))
        {
            foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(memory))
            {
                Reach(word);
            }

            return;
        }

        foreach (uint word in MemoryMarshal.Cast<byte, uint>(memory))
        {
            Reach(word);
        }
    }

    /// <summary>Marks the object that an address lies in, if one does.</summary>
    private void Reach(ulong address)
    {
        int low = 0;
        int high = _candidates.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            Candidate candidate = _candidates[middle];
            if (address < candidate.Address)
            {
                high = middle - 1;
            }
            else if (address - candidate.Address >= candidate.Bytes)
            {
                low = middle + 1;
            }
            else
            {
                if (!candidate.IsReached)
                {
                    candidate.IsReached = true;
                    _reached.Enqueue(candidate);
                }

                return;
            }
        }
    }

    private UnreferencedObject Describe(Candidate candidate)
    {
        ulong physical = candidate.Area is { } area ? (ulong)area.Mapped[0].FrameIndex << PageGeometry.PageShift : candidate.Address - _machine.Addresses.AddressOf(0).Value;
        byte[] first = _machine.Ram.ReadOnly(physical, (int)Math.Min(candidate.Bytes, ShownBytes)).ToArray();
        long age = candidate.Owner is { } owner ? _machine.Clock.Nanoseconds - owner.Nanoseconds : 0;
        return new UnreferencedObject(new VirtualAddress(candidate.Address), (long)candidate.Bytes, candidate.Owner?.CallSite ?? candidate.Area?.Caller ?? "", candidate.Owner?.Task, TimeSpan.FromTicks(age / 100), first);
    }

    private sealed class Candidate(ulong address, ulong bytes, ObjectEvent? owner, VmArea? area)
    {
        public ulong Address { get; } = address;

        public ulong Bytes { get; } = bytes;

        public ObjectEvent? Owner { get; } = owner;

        public VmArea? Area { get; } = area;

        public bool IsReached { get; set; }
    }
}
