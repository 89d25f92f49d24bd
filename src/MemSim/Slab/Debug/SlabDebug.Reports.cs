using System.Globalization;
using System.Text;

namespace MemSim.Slab;

/// <content>The reports, in SLUB's layout.</content>
internal sealed partial class SlabDebug
{
    private const int BytesPerRow = 16;

    /// <summary>Where the array of <c>struct page</c> starts on amd64: reports name a slab by its page's address.</summary>
    private const ulong VmemmapStart = 0xffff_ea00_0000_0000;

    /// <summary>A free of something that is no object of the slab layer at all.</summary>
    public void NotAnObject(Cpu cpu, VirtualAddress obj, string what)
    {
        string where = _machine.TryGetPage(obj, out Page page)
            ? $"The address lies in {page}, {(page.Flags == PageFlags.None ? "which is no page of a slab" : $"flags {page.Flags}")}. Memory from AllocPages is freed with FreePages.\n"
            : "The address is not in the direct map of this machine.\n";
        _machine.Bugs.Raise(KernelBugKind.InvalidObject, $"WARNING: {what}: object pointer: 0x{obj} is not an object of the slab layer", where + Context(cpu), page);
    }

    /// <summary>A free through another cache than the object's own.</summary>
    public void WrongCache(Cpu cpu, KmemCache cache, KmemCache owner, VirtualAddress obj)
    {
        int head = _memory.SlabAt(obj.Value);
        _machine.Bugs.Raise(KernelBugKind.WrongCache, $"cache_from_obj: Wrong slab cache. {cache.Name} but object is from {owner.Name}",
            $"Object 0x{obj}\n{TrackText(obj.Value)}{SlabLine(head)}{Context(cpu)}", PageOf(head));
    }

    /// <summary>A free of an address inside a slab at which no object starts.</summary>
    public void InvalidObject(Cpu cpu, KmemCache cache, int head, VirtualAddress obj, string what)
    {
        ref SlabPage slab = ref _memory[head];
        ulong offset = obj.Value - slab.Base;
        string inside = obj.Value >= slab.Base && offset / slab.Size < slab.Objects
            ? $"The address lies {offset % slab.Size} bytes into the object at 0x{new VirtualAddress(slab.AddressOf((uint)(offset / slab.Size)))}.\n"
            : "The address lies outside the slab's objects.\n";
        _machine.Bugs.Raise(KernelBugKind.InvalidObject, $"BUG {cache.Name} (Not tainted): {what}: Invalid object pointer 0x{obj}",
            Header(cache, $"Invalid object pointer 0x{obj}") + inside + SlabLine(head) + Context(cpu), PageOf(head));
    }

    /// <summary>A free of an object that is free.</summary>
    public void DoubleFree(Cpu cpu, KmemCache cache, int head, VirtualAddress obj, string what)
    {
        StringBuilder text = new(Header(cache, "Object already free"));
        _ = _memory[head].TryIndex(obj.Value, out uint index);
        AppendTrailer(text, cpu, cache, head, index);
        text.Append(CultureInfo.InvariantCulture, $"FIX {cache.Name}: Object at 0x{obj} not freed\n");
        _machine.Bugs.Raise(KernelBugKind.DoubleFree, $"BUG {cache.Name} (Not tainted): {what}: Object already free", text.ToString(), PageOf(head));
    }

    private static string Header(KmemCache cache, string reason) =>
        "=============================================================================\n"
        + $"BUG {cache.Name} (Not tainted): {reason}\n"
        + "-----------------------------------------------------------------------------\n\n";

    private static string Context(Cpu cpu) => string.Create(CultureInfo.InvariantCulture, $"CPU: {cpu.Id} PID: {cpu.Current.Pid} Comm: {cpu.Current.Name}\n");

    private string DescribeDamage(Cpu cpu, KmemCache cache, int head, uint index, ulong fault, int length, byte found, byte expected, string what)
    {
        StringBuilder text = new(Header(cache, what + " overwritten"));
        text.Append(CultureInfo.InvariantCulture, $"0x{fault:x16}-0x{fault + (ulong)length - 1:x16} @offset={fault - StartOf(head)}. First byte 0x{found:x} instead of 0x{expected:x}\n");
        AppendTrailer(text, cpu, cache, head, index);
        text.Append(CultureInfo.InvariantCulture, $"FIX {cache.Name}: Restoring {what} 0x{fault:x16}-0x{fault + (ulong)length - 1:x16}=0x{expected:x}\n");
        return text.ToString();
    }

    /// <summary>History, slab and bytes of an object (<c>print_trailer()</c>).</summary>
    private void AppendTrailer(StringBuilder text, Cpu cpu, KmemCache cache, int head, uint index)
    {
        ref SlabPage slab = ref _memory[head];
        ulong address = slab.AddressOf(index);
        CacheLayout layout = cache.Layout;
        AppendTrack(text, address);
        text.Append(SlabLine(head));
        ushort link = slab.Links[index];
        ulong next = link < slab.Objects ? slab.AddressOf(link) : 0;
        text.Append(CultureInfo.InvariantCulture, $"Object 0x{address:x16} @offset={address - StartOf(head)} fp=0x{next:x16}\n\n");
        if ((cache.Flags & SlabFlags.RedZone) != 0)
        {
            AppendBytes(text, "Redzone  ", address - (ulong)layout.RedLeftPad, layout.RedLeftPad);
        }
        else if (address - StartOf(head) > BytesPerRow)
        {
            AppendBytes(text, "Bytes b4 ", address - BytesPerRow, BytesPerRow);
        }

        AppendBytes(text, "Object   ", address, Math.Min(cache.ObjectSize, PageGeometry.PageSize));
        if ((cache.Flags & SlabFlags.RedZone) != 0)
        {
            AppendBytes(text, "Redzone  ", address + (ulong)cache.ObjectSize, cache.InUse - cache.ObjectSize);
        }

        int end = MetadataEnd(cache);
        AppendBytes(text, "Padding  ", address + (ulong)end, cache.Size - layout.RedLeftPad - end);
        text.Append(Context(cpu));
    }

    private void AppendTrack(StringBuilder text, ulong address)
    {
        if (_tracks.AllocationOf(address) is { } allocated)
        {
            text.Append(CultureInfo.InvariantCulture, $"Allocated in {Site(allocated)} age={_tracks.Sequence - allocated.Sequence} cpu={allocated.Cpu} pid={allocated.Pid}\n");
        }

        if (_tracks.FreeOf(address) is { } freed)
        {
            text.Append(CultureInfo.InvariantCulture, $"Freed in {Site(freed)} age={_tracks.Sequence - freed.Sequence} cpu={freed.Cpu} pid={freed.Pid}\n");
        }
    }

    private string TrackText(ulong address)
    {
        StringBuilder text = new();
        AppendTrack(text, address);
        return text.ToString();
    }

    private static string Site(SlabTrack track) => track.CallSite.Length == 0 ? "(unknown)" : track.CallSite;

    private string SlabLine(int head)
    {
        ref SlabPage slab = ref _memory[head];
        Page page = PageOf(head);
        uint flags = (uint)(page.Flags & PageFlags.StoredMask);
        string names = string.Join('|', new[] { "slab", page.IsHead ? "head" : "", $"node={slab.Node}", $"zone={page.Zone.Index}" }.Where(n => n.Length != 0));
        ulong pointer = _machine.Architecture.Architecture == Architecture.X86_64 ? VmemmapStart + ((ulong)head * 64) : (ulong)head;
        return string.Create(CultureInfo.InvariantCulture, $"Slab 0x{pointer:x16} objects={slab.Objects} used={slab.InUse} fp=0x{FreePointerText(head)} flags=0x{flags:x}({names})\n");
    }

    /// <summary>Bytes as the kernel dumps them: sixteen a row, in hexadecimal and as characters.</summary>
    private void AppendBytes(StringBuilder text, string title, ulong address, int length)
    {
        if (!_machine.Ram.HasContents)
        {
            return;
        }

        Span<byte> row = stackalloc byte[BytesPerRow];
        for (int done = 0; done < length; done += BytesPerRow)
        {
            int count = Math.Min(BytesPerRow, length - done);
            for (int i = 0; i < count; i++)
            {
                row[i] = SlabContents.Span(_machine, address + (ulong)(done + i), 1)[0];
            }

            int start = text.Append(CultureInfo.InvariantCulture, $"{title}{address + (ulong)done:x16}: ").Length;
            foreach (byte value in row[..count])
            {
                text.Append(CultureInfo.InvariantCulture, $"{value:x2} ");
            }

            text.Append(' ', (BytesPerRow * 3) + 1 - (text.Length - start));
            foreach (byte value in row[..count])
            {
                text.Append(value is >= 0x20 and < 0x7f ? (char)value : '.');
            }

            text.Append('\n');
        }
    }
}
