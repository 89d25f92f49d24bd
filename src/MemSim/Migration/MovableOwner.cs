using MemSim.Pages;

namespace MemSim;

/// <summary>An owner of movable pages as a machine knows it: gives pages to it and takes them back.</summary>
public sealed class MovableOwner
{
    private readonly Machine _machine;
    private readonly uint _mapping;
    private bool _closed;

    internal MovableOwner(Machine machine, IMovableOwner owner)
    {
        _machine = machine;
        Owner = owner;
        _mapping = MappingTable.Value(machine.Frames.Mappings.Add(owner), MappingTable.Movable);
    }

    /// <summary>Whom the machine asks.</summary>
    public IMovableOwner Owner { get; }

    /// <summary>Pages that belong to the owner.</summary>
    public long Pages { get; internal set; }

    /// <summary>Makes a page movable from now on (<c>__SetPageMovable()</c>).</summary>
    /// <param name="page">An allocated single page with no other owner; allocate it with <see cref="Gfp.Movable"/>, or it pollutes a page block.</param>
    /// <param name="index">The owner's name for the page; it moves along.</param>
    /// <exception cref="ArgumentException">The page is free, part of a larger block, or has another owner.</exception>
    public void Adopt(Page page, uint index = 0)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        _machine.ThrowIfDisposed();
        ref PageFrame frame = ref FrameOf(page);
        if (frame.RefCount == 0 || frame.Order != 0 || frame.Mapping != 0 || frame.IsOnLru)
        {
            throw new ArgumentException($"{page} is not a single allocated page without an owner: {page.Count} references, order {page.Order}, mapping {page.Mapping:x}", nameof(page));
        }

        frame.Index = index;
        frame.Mapping = _mapping;
        Pages++;
    }

    /// <summary>Ends the ownership, so that the page can be freed (<c>__ClearPageMovable()</c>).</summary>
    /// <param name="page">A page of this owner that is not being moved.</param>
    /// <exception cref="ArgumentException">The page is not the owner's, or is isolated.</exception>
    public void Disown(Page page)
    {
        ref PageFrame frame = ref FrameOf(page);
        if (frame.Mapping != _mapping || frame.IsToBeReclaimed)
        {
            throw new ArgumentException($"{page} is not a page of this owner, or is being moved", nameof(page));
        }

        frame.Mapping = 0;
        frame.Index = 0;
        Pages--;
    }

    /// <summary>Takes the owner off the machine.</summary>
    /// <exception cref="InvalidOperationException">It still has pages.</exception>
    public void Unregister()
    {
        if (Pages != 0)
        {
            throw new InvalidOperationException($"the owner still has {Pages} pages");
        }

        if (!_closed)
        {
            _closed = true;
            _machine.Frames.Mappings.Remove(_mapping >> 2);
        }
    }

    private ref PageFrame FrameOf(Page page)
    {
        if (!page.BelongsTo(_machine))
        {
            throw new ArgumentException(page.IsNull ? "the page is null" : $"{page} belongs to another machine", nameof(page));
        }

        return ref _machine.Frames.FrameOf(page.FrameIndex);
    }
}
