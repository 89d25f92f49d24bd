using MemSim.Slab;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>The kernel's memory that an address space takes for itself.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Areas to a leaf of the kernel's tree: 16 entries, half of them for the holes between areas.</summary>
    private const int AreasPerLeaf = 8;

    private readonly List<VirtualAddress> _treeNodes = [];
    private int _objectsOfAreas;
    private int _nodesSuffice;

    /// <summary>The object of <c>mm_struct</c> that it is.</summary>
    internal VirtualAddress Memory { get; }

    /// <summary>Makes an area that is not in the tree yet, with room there; null without memory.</summary>
    private Vma? NewVma(Cpu cpu, ulong start, ulong end, VmaFlags flags)
    {
        VirtualAddress memory = _spaces.Objects.Take(cpu, KernelObject.Vma);
        if (memory.IsNull)
        {
            return null;
        }

        if (_objectsOfAreas == _nodesSuffice && !AddTreeNode(cpu))
        {
            _spaces.Objects.Give(cpu, KernelObject.Vma, memory);
            return null;
        }

        _objectsOfAreas++;
        return new Vma(this, start, end, flags, memory);
    }

    private void FreeVma(Cpu cpu, Vma vma)
    {
        if (ReferenceEquals(_lastFound, vma))
        {
            _lastFound = null;
        }

        _spaces.Objects.Give(cpu, KernelObject.Vma, vma.Memory);
        _objectsOfAreas--;
        while (_treeNodes.Count != 0 && (_objectsOfAreas == 0 || _objectsOfAreas <= _nodesSuffice - (2 * AreasPerLeaf)))
        {
            RemoveTreeNode(cpu);
        }
    }

    /// <summary>
    /// A node of the kernel's tree of areas (<c>mas_preallocate()</c>). Its shape is not simulated, only about how many nodes it has: a leaf for each eight areas. What
    /// splits and merges move between them evens out; nodes above the leaves are an eighth of those, and left out.
    /// </summary>
    private bool AddTreeNode(Cpu cpu)
    {
        VirtualAddress node = _spaces.Objects.Take(cpu, KernelObject.MapleNode);
        if (node.IsNull)
        {
            return false;
        }

        _treeNodes.Add(node);
        _nodesSuffice += AreasPerLeaf;
        return true;
    }

    private void RemoveTreeNode(Cpu cpu)
    {
        _spaces.Objects.Give(cpu, KernelObject.MapleNode, _treeNodes[^1]);
        _treeNodes.RemoveAt(_treeNodes.Count - 1);
        _nodesSuffice -= AreasPerLeaf;
    }

    /// <summary>Adds the objects that it consists of.</summary>
    internal void Collect(KernelObjectCheck check)
    {
        check.Add(KernelObject.Mm, Memory);
        foreach (VirtualAddress node in _treeNodes)
        {
            check.Add(KernelObject.MapleNode, node);
        }

        foreach (Vma vma in Areas)
        {
            check.Add(KernelObject.Vma, vma.Memory);
            foreach (AnonVmaChain link in vma.Chain ?? [])
            {
                check.Add(KernelObject.AnonVmaChain, link.Memory);
            }
        }
    }
}
