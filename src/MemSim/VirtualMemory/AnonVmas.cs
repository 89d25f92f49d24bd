using System.Diagnostics;
using MemSim.Pages;
using MemSim.Slab;

namespace MemSim.VirtualMemory;

/// <summary>Anonymous-memory objects: making, sharing, giving up (<c>mm/rmap.c</c> of 6.1). Guarded by the lock of address spaces.</summary>
internal sealed class AnonVmas(MappingTable mappings, KernelObjects objects)
{
    /// <summary>Gives an area its own object before its first anonymous page (<c>anon_vma_prepare()</c>), a neighbour's when the two could be merged.</summary>
    /// <returns>False without memory.</returns>
    public bool Prepare(Cpu cpu, Vma vma) => vma.AnonVma is not null || MakeAnon(cpu, vma);

    /// <summary>Links an area to all objects of another (<c>anon_vma_clone()</c>); one of them may become its own.</summary>
    /// <returns>False without memory; nothing has changed then.</returns>
    public bool Clone(Cpu cpu, Vma to, Vma from)
    {
        if (from.Chain is null)
        {
            return true;
        }

        // Newest links last, as the kernel's reversed walk leaves them.
        int linked = 0;
        AnonVma? own = to.AnonVma;
        if (ReferenceEquals(to.Mm, from.Mm))
        {
            // A split or copy within one address space goes on with the same object.
            to.AnonVma ??= from.AnonVma;
        }

        foreach (AnonVmaChain link in from.Chain)
        {
            if (!Link(cpu, to, link.Anon))
            {
                to.AnonVma = own;
                for (; linked > 0; linked--)
                {
                    Unlink(cpu, to.Chain![^1]);
                    to.Chain.RemoveAt(to.Chain.Count - 1);
                }

                return false;
            }

            linked++;
            if (to.AnonVma is null && from.AnonVma is not null && link.Anon.Children < 2 && link.Anon.ActiveAreas == 0)
            {
                to.AnonVma = link.Anon;
            }
        }

        if (to.AnonVma is not null && !ReferenceEquals(own, to.AnonVma))
        {
            to.AnonVma.ActiveAreas++;
        }

        return true;
    }

    /// <summary>Links a child's area to its parent's objects and gives it one of its own (<c>anon_vma_fork()</c>).</summary>
    /// <returns>False without memory; nothing has changed then.</returns>
    public bool Fork(Cpu cpu, Vma child, Vma parent)
    {
        if (parent.AnonVma is null)
        {
            return true;
        }

        if (!Clone(cpu, child, parent))
        {
            return false;
        }

        if (child.AnonVma is not null)
        {
            return true;
        }

        AnonVma? anon = NewAnon(cpu, parent.AnonVma);
        if (anon is null)
        {
            UnlinkAll(cpu, child);
            return false;
        }

        anon.ActiveAreas++;
        if (!Link(cpu, child, anon))
        {
            anon.ActiveAreas--;
            FreeAnon(cpu, anon);
            UnlinkAll(cpu, child);
            return false;
        }

        child.AnonVma = anon;
        anon.Parent.Children++;
        return true;
    }

    /// <summary>An area goes: so do its links, and objects that nobody needs any more (<c>unlink_anon_vmas()</c>).</summary>
    public void UnlinkAll(Cpu cpu, Vma vma)
    {
        if (vma.Chain is null)
        {
            vma.AnonVma = null;
            return;
        }

        vma.KnownMapping = Vma.NoMapping;
        if (vma.AnonVma is not null)
        {
            vma.AnonVma.ActiveAreas--;
            Debug.Assert(vma.AnonVma.ActiveAreas >= 0, "no more areas go than came");
            vma.AnonVma = null;
        }

        // Objects without areas tell their parents first, then they are freed: a child is never freed after its root.
        foreach (AnonVmaChain link in vma.Chain)
        {
            Unlink(cpu, link);
            if (link.Anon.Areas.Count == 0)
            {
                link.Anon.Parent.Children--;
            }
        }

        foreach (AnonVmaChain link in vma.Chain)
        {
            if (link.Anon.Areas.Count == 0)
            {
                FreeAnon(cpu, link.Anon);
            }
        }

        vma.Chain = null;
    }

    private bool MakeAnon(Cpu cpu, Vma vma)
    {
        AnonVma? anon = FindMergeable(vma);
        bool isNew = anon is null;
        if (anon is null)
        {
            anon = NewAnon(cpu, null);
            if (anon is null)
            {
                return false;
            }

            if (vma.AnonVma is not null)
            {
                // Somebody who ran in the allocation was faster.
                FreeAnon(cpu, anon);
                return true;
            }

            anon.Children++;
        }

        if (!Link(cpu, vma, anon))
        {
            if (isNew)
            {
                FreeAnon(cpu, anon);
            }

            return false;
        }

        vma.AnonVma = anon;
        anon.ActiveAreas++;
        return true;
    }

    /// <summary>A neighbour's object, when the areas differ in nothing but rights that may change (<c>find_mergeable_anon_vma()</c>).</summary>
    private static AnonVma? FindMergeable(Vma vma)
    {
        if (vma.Next is { } next && CouldMerge(vma, next) && Reusable(next) is { } above)
        {
            return above;
        }

        return vma.Previous is { } previous && CouldMerge(previous, vma) ? Reusable(previous) : null;
    }

    private static bool CouldMerge(Vma a, Vma b) =>
        a.EndValue == b.StartValue && ReferenceEquals(a.Policy, b.Policy) && ReferenceEquals(a.File, b.File)
        && ((a.Flags ^ b.Flags) & ~(VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec | VmaFlags.MaybeGuard)) == 0 && b.PgOff == a.PgOff + (ulong)a.Pages;

    private static AnonVma? Reusable(Vma vma) => vma.AnonVma is not null && vma.Chain is { Count: 1 } ? vma.AnonVma : null;

    private AnonVma? NewAnon(Cpu cpu, AnonVma? parent)
    {
        VirtualAddress memory = objects.Take(cpu, KernelObject.AnonVma);
        if (memory.IsNull)
        {
            return null;
        }

        AnonVma anon = new(mappings, parent, memory);
        anon.References = 1;
        if (parent is not null)
        {
            anon.Root.References++;
        }

        return anon;
    }

    /// <summary>Gives an object up; a root stays until the last of its family is gone.</summary>
    private void FreeAnon(Cpu cpu, AnonVma anon)
    {
        AnonVma root = anon.Root;
        Debug.Assert(anon.References > 0 && root.References > 0 && anon.Areas.Count == 0, "nothing is linked to it, and it was not given up before");
        if (--anon.References == 0)
        {
            Release(cpu, anon);
        }

        if (!ReferenceEquals(root, anon) && --root.References == 0)
        {
            Release(cpu, root);
        }
    }

    private void Release(Cpu cpu, AnonVma anon)
    {
        Debug.Assert(!anon.IsFreed && anon.ActiveAreas == 0, "it goes once, and no area has it as its own");
        anon.IsFreed = true;
        mappings.Remove(anon.Id);
        objects.Give(cpu, KernelObject.AnonVma, anon.Memory);
    }

    private bool Link(Cpu cpu, Vma vma, AnonVma anon)
    {
        VirtualAddress memory = objects.Take(cpu, KernelObject.AnonVmaChain);
        if (memory.IsNull)
        {
            return false;
        }

        AnonVmaChain link = new(vma, anon, memory) { Place = anon.Areas.Count };
        anon.Areas.Add(link);
        (vma.Chain ??= []).Add(link);
        return true;
    }

    /// <summary>Takes a link out of its object; the last one takes its place.</summary>
    private void Unlink(Cpu cpu, AnonVmaChain link)
    {
        List<AnonVmaChain> areas = link.Anon.Areas;
        AnonVmaChain last = areas[^1];
        Debug.Assert(ReferenceEquals(areas[link.Place], link) && last.Place == areas.Count - 1, "links know their places");
        areas[link.Place] = last;
        last.Place = link.Place;
        areas.RemoveAt(areas.Count - 1);
        objects.Give(cpu, KernelObject.AnonVmaChain, link.Memory);
    }
}
