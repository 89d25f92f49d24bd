using MemSim.Diagnostics;
using MemSim.Pages;

namespace MemSim.CompressedMemory;

/// <content>Compaction: objects of sparse blocks move into full ones, and the checks.</content>
internal sealed partial class Zsmalloc
{
    /// <summary>Frames that compaction could free at most.</summary>
    public long PagesToSpare
    {
        get
        {
            long pages = 0;
            SizeClass? last = null;
            foreach (SizeClass sizeClass in _classes)
            {
                pages += ReferenceEquals(sizeClass, last) ? 0 : sizeClass.PagesToSpare;
                last = sizeClass;
            }

            return pages;
        }
    }

    /// <summary>Moves objects together, from the largest class down (<c>zs_compact()</c>).</summary>
    /// <returns>Frames that became free.</returns>
    public long Compact(Cpu cpu)
    {
        FreeDeferred(cpu);
        long before = Pages;
        SizeClass? last = null;
        for (int i = _classes.Length - 1; i >= 0; i--)
        {
            if (!ReferenceEquals(_classes[i], last))
            {
                Compact(cpu, _classes[i]);
            }

            last = _classes[i];
        }

        PagesCompacted += before - Pages;
        return before - Pages;
    }

    public void Verify()
    {
        long pages = 0;
        long deferred = 0;
        Dictionary<SizeClass, (long Zspages, long Objects)> counted = [];
        foreach (Zspage? zspage in _zspages)
        {
            if (zspage is null)
            {
                continue;
            }

            pages += zspage.Pfns.Length;
            VerifyOne(zspage);
            (long zspages, long objects) = counted.GetValueOrDefault(zspage.Class);
            counted[zspage.Class] = (zspages + 1, objects + zspage.InUse);
            deferred += zspage.InUse == 0 ? 1 : 0;
        }

        if (pages != Pages || pages != _owner.Pages)
        {
            Fail($"{Pages} frames are counted, but the blocks have {pages} and own {_owner.Pages}");
        }

        if (deferred != _deferred.Count)
        {
            Fail($"{deferred} blocks are empty, but {_deferred.Count} wait for a frame that is being moved");
        }

        foreach (SizeClass sizeClass in _classes.Distinct())
        {
            (long zspages, long objects) = counted.GetValueOrDefault(sizeClass);
            if (sizeClass.Zspages != zspages || sizeClass.InUse != objects || sizeClass.Listed != zspages - _deferred.Count(z => ReferenceEquals(z.Class, sizeClass)))
            {
                Fail($"class {sizeClass.Size} counts {sizeClass.Zspages} blocks and {sizeClass.InUse} objects and lists {sizeClass.Listed} blocks, but there are {zspages} and {objects}");
            }
        }
    }

    private void Compact(Cpu cpu, SizeClass sizeClass)
    {
        Zspage? target = null;
        while (sizeClass.PagesToSpare > 0)
        {
            if (target is null)
            {
                target = Isolate(sizeClass, fullest: true);
            }

            Zspage? source = target is null ? null : Isolate(sizeClass, fullest: false);
            if (source is null)
            {
                break;
            }

            MoveObjects(source, target!);
            if (source.InUse == 0)
            {
                FreeZspage(cpu, source);
            }
            else
            {
                sizeClass.Insert(source);
            }

            if (target!.IsFull)
            {
                sizeClass.Insert(target);
                target = null;
            }
        }

        if (target is not null)
        {
            sizeClass.Insert(target);
        }
    }

    /// <summary>Takes a block that is neither empty nor full off its list.</summary>
    private static Zspage? Isolate(SizeClass sizeClass, bool fullest)
    {
        for (int i = 1; i < sizeClass.Groups - 1; i++)
        {
            if (sizeClass.First(fullest ? sizeClass.Groups - 1 - i : i) is { } found)
            {
                sizeClass.Remove(found);
                return found;
            }
        }

        return null;
    }

    private void MoveObjects(Zspage source, Zspage target)
    {
        Span<byte> bytes = stackalloc byte[PageGeometry.PageSize];
        for (int i = 0; i < source.Handles.Length && !target.IsFull; i++)
        {
            int handle = source.Handles[i];
            if (handle == 0)
            {
                continue;
            }

            Handle old = _handles[handle];
            Span<byte> content = bytes[..old.Bytes];
            Read(handle, content);
            source.Give(i);
            _handles[handle] = old with { Zspage = target, Index = target.Take(handle) };
            Write(handle, content);
        }
    }

    private void VerifyOne(Zspage zspage)
    {
        int used = 0;
        for (int i = 0; i < zspage.Handles.Length; i++)
        {
            if (zspage.Handles[i] is int handle and not 0)
            {
                used++;
                if (!ReferenceEquals(_handles[handle].Zspage, zspage) || _handles[handle].Index != i)
                {
                    Fail($"object {i} of block {zspage.Number} is known by handle {handle}, which names another");
                }
            }
        }

        if (used != zspage.InUse || (used != 0 && zspage.Group != zspage.Class.GroupOf(used)))
        {
            Fail($"block {zspage.Number} counts {zspage.InUse} objects in group {zspage.Group}, but has {used}");
        }

        foreach (int pfn in zspage.Pfns)
        {
            ref PageFrame frame = ref _machine.Frames.Array[pfn];
            if (frame.RefCount < 1 || frame.Index != (uint)zspage.Number)
            {
                Fail($"pfn 0x{pfn:x} of block {zspage.Number} has {frame.RefCount} references and says it is of block {frame.Index}");
            }
        }
    }

    private static void Fail(string what) => BugReporter.Corrupt("zsmalloc: " + what);
}
